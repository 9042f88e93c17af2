"""The web page of ``invkit ui``. A visitor drops a photograph, a worker process restores it, and a gallery keeps it.

The server (`server` and the modules that it imports) imports no torch. The worker (`worker`) imports no NiceGUI.
"""
