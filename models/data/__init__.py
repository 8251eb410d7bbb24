"""Data sets: what they are, where they come from, how they are read and turned into numbers. No network is built here.

`kinds` holds the three shapes that data have when they reach a task: labelled texts, labelled images, plain text.
"""
