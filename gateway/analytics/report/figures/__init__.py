"""The figures by subject: functions from ``UsedEvents`` to what a figure shows and says. ``figures.table`` lists them all.

They must not know: files, how a figure is drawn.
"""
