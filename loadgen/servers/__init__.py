"""The thing measured: how a server is reached and observed, and a simulator whose truth is known.

May import `inputs`, `load`, `moe`, `errors` and of the engine the alarm. Stands beside the engine and never measures.
"""
