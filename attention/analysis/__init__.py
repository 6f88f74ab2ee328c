"""Looking at what was trained: attention maps and loss curves as pictures.

Import the modules by name (`from attention.analysis import plots`): they bring matplotlib, which
the rest of the library does without.
"""
