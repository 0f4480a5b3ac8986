"""What people and programs get to see: rich tables, and the same as JSON.

A module for each thing that is shown: `show_…` prints it to a console, `…_as_json` tells it as
values. `tables` and `values` are what they share.
"""
