"""Zero-shot multiple choice: the paper's seven tasks from local files, with the prompts and metrics of lm-evaluation-harness.

`tasks` makes questions out of rows, `files` reads them, `scorer` scores answers from one shared state, `evaluation` puts it
together and keeps the record; `harness` holds the adapter for lm-evaluation-harness (extra `eval`), which nothing else needs.
"""
