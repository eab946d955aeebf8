import numpy


def handler(event, _context):
    numbers = numpy.array(event.get("numbers", [1, 2, 3]))
    return {"sum": int(numbers.sum())}
