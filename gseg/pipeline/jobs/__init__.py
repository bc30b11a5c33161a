"""The heavy work of stages as plain data: what a process, an actor or a replica does alike."""
