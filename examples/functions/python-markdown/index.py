import os

from markdown_it import MarkdownIt

renderer = MarkdownIt(os.environ.get("MARKDOWN_PRESET", "commonmark"))


def handler(event, context):
    return {"html": renderer.render((event or {}).get("markdown", ""))}
