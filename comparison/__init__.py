"""One comparison: names to a plan (`plan`), a plan to records (`run`), the records themselves (`records`).

Exercised by ``python run_compare.py``; importing it loads no torch.
"""
