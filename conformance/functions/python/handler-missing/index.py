def other(event, context):
    return {}
