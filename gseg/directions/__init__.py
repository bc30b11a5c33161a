"""Latent directions along which foreground and background part (floor 2).

Two ways find one: `search_direction` optimises it (Melas-Kyriazi et al. 2022), `choose_direction`
picks it from `make_candidates` (Voynov et al. 2021).
"""
