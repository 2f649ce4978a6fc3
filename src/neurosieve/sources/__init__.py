"""What a benchmark fetches, and the only code that fetches: pinned wheels, models and datasets of the hub.

``wheels.py`` the package registry, ``hub.py`` the Hugging Face hub and its models, ``datasets.py`` its datasets,
``fetch.py`` all that a params file needs, before it runs. Everything is pinned, and checked when it is used.
"""
