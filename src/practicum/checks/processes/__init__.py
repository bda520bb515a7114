"""Where a check's episodes are played: processes made for it, so that the caller's own stays as it is.

A ``Nursery`` holds one warm process for each set of circumstances (``world``): Python and Practicum are loaded, the
user's code is not. A ``Stage`` is a fork of it that has loaded one environment. Each piece of work (``work``) is done
in a fork of the stage: it begins with the process as it was right after the import, and whatever it leaves ends with
it.
"""
