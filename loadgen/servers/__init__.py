"""The thing measured: how a server is reached and observed, and a simulator whose truth is known.

Stands beside the engine and never measures.
"""
