"""The page of the local clean room: server-rendered views at the address of `cleanroom-algo up`.

To add a view:

1. `views/NAME.py`: a Flask blueprint called `NAME` whose functions get records from `viewer()` and return
   `render("NAME.html", ...)`. `viewer()` has the view of the selected member; `whole` is true if everything is visible.
2. `templates/NAME.html`: extends `page.html`. An element that should update itself has an `id` and `data-live`.
3. A line in `VIEWS` of `app.py`; links are `url_for("NAME.function")`, which keeps the selected member.
4. If reading records is slow, call `unchanged(FACTS)` first: it answers 304 if the browser has a page with the same
facts.
5. Charts are SVG from `charts.py` (`line_chart`, `bar_chart`): text and classes, which the style sheet colors.

Modules that import polars, numpy or the profile of files are imported in functions, so that the first page is fast.
A function that changes something only accepts POST, and its form contains `{{ token() }}`; `app.py` checks it.
"""
