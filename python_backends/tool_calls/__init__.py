"""Describes functions to an LLM, and parses its calls of them.

definitions   the input `tools` → functions
prompts       functions, calls and results → messages for a chat template
syntax        the forms in which models write calls; which of them a chat template writes
json_scanner  whether a text that grows can still be JSON
call_reader   one call, character by character
call_parser   an answer as it grows → its text, and pieces of calls
"""
