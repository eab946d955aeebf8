import contextlib
import os

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route


@contextlib.asynccontextmanager
async def lifespan(app):
    yield {"greeting": os.environ["GREETING"]}


async def greet(request):
    name = (await request.json())["name"]
    return JSONResponse({"text": f"{request.state.greeting}, {name}"})


app = Starlette(routes=[Route("/greetings", greet, methods=["POST"])], lifespan=lifespan)
