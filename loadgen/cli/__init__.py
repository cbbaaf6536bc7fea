"""The command line: parse, call, print, exit code. Nothing else.

Modules here import nothing heavy at the top, so that `loadgen --help` is quick; a command imports what it calls.
"""
