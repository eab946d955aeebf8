import os

from flask import Flask, jsonify, request

app = Flask(__name__)


@app.get("/hello/<name>")
def hello(name):
    return f"{os.environ['GREETING']}, {name}{request.args.get('punctuation', '.')}"


@app.post("/orders")
def order():
    return jsonify(accepted=request.get_json()), 201
