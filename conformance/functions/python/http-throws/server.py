raise RuntimeError("no database today")
