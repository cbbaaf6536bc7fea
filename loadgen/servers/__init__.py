"""The thing measured: how a server is reached and observed, and a simulator whose truth is known.

May import `loadgen.load` and `loadgen.errors`. Stands beside the engine and never measures.
"""
