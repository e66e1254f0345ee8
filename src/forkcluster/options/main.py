"""Read the configuration again, for a reload, under the new release's interpreter.

Standard input holds `Request.to_json(environment)`; standard output gets one JSON object: `Launch.to_json()`,
or `{"error": …}` with that error's exit code. `Launch.from_json` reads both.
"""

import json
import sys

from forkcluster.errors import ForkclusterError, InternalError
from forkcluster.options.frozen import Request
from forkcluster.options.read import read


def answer(text: str) -> tuple[str, int]:
    """The JSON to print and the exit code for the request in `text`."""
    try:
        values = json.loads(text)
        if not isinstance(values, dict) or not isinstance(values.get("environment"), dict):
            raise InternalError("reading a request: no environment in it")
        request = Request.from_mapping(values)
        environment = {str(name): str(value) for name, value in values["environment"].items()}
        return read(request, environment).launch(request).to_json(), 0
    except ForkclusterError as error:
        return json.dumps({"error": error.to_json()}), error.exit_code
    except ValueError as error:
        problem = InternalError(f"reading a request: not JSON: {error}")
        return json.dumps({"error": problem.to_json()}), problem.exit_code


def main(_arguments: list[str]) -> int:
    """Answer the request on standard input; the exit code."""
    output, code = answer(sys.stdin.read())
    sys.stdout.write(output + "\n")
    return code
