"""The page of the local clean room: server-rendered views at the address of `cleanroom-algo up`.

To add a view:

1. `views/NAME.py`: a Flask blueprint called `NAME` whose functions ask `viewer()` for records and return
   `render("NAME.html", ...)`. `viewer()` sees what the chosen member sees; its `whole` says whether that is everything.
2. `templates/NAME.html`: extends `page.html`. What is to change by itself is an element with an `id` and `data-live`.
3. A line in `VIEWS` of `app.py`; links are `url_for("NAME.function")`, which keeps the chosen member.
4. Where asking is expensive, `unchanged(FACTS)` first: it answers 304 if the browser has a page of the same facts.
5. Charts are SVG from `charts.py` (`line_chart`, `bar_chart`): text and classes, which the style sheet colors.

What imports polars, numpy or the profile of files is imported in functions: the first page waits for the modules.
A function that changes something takes POST alone, and its form has `{{ token() }}`; `app.py` checks it.
"""
