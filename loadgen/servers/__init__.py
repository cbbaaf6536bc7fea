"""The thing measured: how a server is reached and observed, and a simulator whose truth is known.

May import `load`, `errors` and of the engine the alarm. Stands beside the engine and never measures.
"""
