"""Where people come from who were enrolled elsewhere: each source is an iterable of photos.

Nothing here sends anything to Rollcall; `app.commands.import_from` does, with what enrols folders.
"""
