"""The web page of ``invkit ui``: a photograph is dropped, restored by a process of its own, and kept in a gallery.

What serves the page (`serving` and what it imports) imports no torch; what restores (`worker`, `restoring`,
`previews`) imports no NiceGUI.
"""
