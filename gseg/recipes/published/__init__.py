"""The numbers that both papers print, as data.

Every results table of Melas-Kyriazi et al. 2022 and Voynov et al. 2021, cell by cell, with the
settings it was measured under, where it comes from, and whether other cells contradict it.
"""
