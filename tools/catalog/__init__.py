"""The builder of ``config/{providers,models,prices}``: two public price lists, checked against a third, → the catalogue.

``python -m tools.catalog build`` writes the files, ``python -m tools.catalog diff`` tells what a build would change. What
the sources do not know, or get wrong, is kept by hand in the YAML files beside this one. It must not know the gateway,
but for the loader and the comparison, by which it proves what it wrote, and the sizes that names tell. See ``docs/catalog.md``.
"""
