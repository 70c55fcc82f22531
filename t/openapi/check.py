"""Holds an OpenAPI 3.1 file against real answers.

    check.py OPENAPI.yaml EXCHANGES.json

An exchange is { method, path, query, status, request, body, etag }, request and
body being JSON or null.  Prints a line for each finding: "ok TITLE" or
"not ok TITLE: WHY".
"""

import json
import re
import sys

import jsonschema
import yaml

METHODS = ('get', 'put', 'post', 'delete', 'patch')


def report(title, why=None):
    why = re.sub(r'\s+', ' ', why)[:500] if why else None
    print(f'not ok {title}: {why}' if why else f'ok {title}')


def closed(schema):
    """The same, but a field that it does not name is an error: here a field
    that is answered and not documented is one."""

    if isinstance(schema, list):
        return [closed(element) for element in schema]

    if not isinstance(schema, dict):
        return schema

    copy = {name: closed(value) for name, value in schema.items()}

    if isinstance(schema.get('properties'), dict):
        copy.setdefault('additionalProperties', False)

    return copy


class Api:
    def __init__(self, doc):
        self.doc = doc
        self.components = closed(doc['components']['schemas'])
        self.used = set()       # 'get /path status' that was answered
        self.operations = {}    # 'get /path' -> operation
        self.patterns = []

        for path, item in doc['paths'].items():
            pattern = re.escape(path).replace(r'\{event\}', '.+')
            pattern = re.sub(r'\\\{\w+\\\}', '[^/]+', pattern)
            self.patterns.append((path.count('{'), path, re.compile(pattern)))

            for method in METHODS:
                if method in item:
                    self.operations[f'{method} {path}'] = item[method]

        # as in OpenAPI: what has fewer parameters goes before
        self.patterns.sort()

    def find(self, method, path):
        for _, template, pattern in self.patterns:
            name = f'{method.lower()} {template}'

            if name in self.operations and pattern.fullmatch(path):
                return name

        return None

    def resolve(self, thing):
        if '$ref' not in thing:
            return thing

        found = self.doc

        for part in thing['$ref'].removeprefix('#/').split('/'):
            found = found[part]

        return found

    def errors(self, schema, value):
        whole = {'components': {'schemas': self.components}, **closed(schema)}
        validator = jsonschema.Draft202012Validator(whole)
        best = jsonschema.exceptions.best_match(validator.iter_errors(value))

        if best is None:
            return None

        while best.context:     # of the alternatives, what fits best
            best = max(best.context, key=lambda error: len(error.path))

        return f'{"/".join(map(str, best.absolute_path))}: {best.message}'


def check_document(doc):
    """Its schemas by JSON Schema's own; its references, ids, parameters.
    That it is OpenAPI is for a validator to say: see run."""

    for name, part in doc['components']['schemas'].items():
        try:
            jsonschema.Draft202012Validator.check_schema(part)
        except jsonschema.SchemaError as wrong:
            report(f'schema {name}', wrong.message)

    references = re.findall(r'"\$ref": "([^"]+)"', json.dumps(doc))
    missing = []

    for reference in set(references):
        found = doc

        try:
            for part in reference.removeprefix('#/').split('/'):
                found = found[part]
        except KeyError:
            missing.append(reference)

    report('its references lead somewhere', ', '.join(missing))

    unused = [f'{kind}/{name}'
              for kind in ('schemas', 'parameters', 'responses', 'headers')
              for name in doc['components'][kind]
              if f'#/components/{kind}/{name}' not in references]
    report('all of its components are used', ', '.join(unused))

    ids = [operation['operationId'] for item in doc['paths'].values()
           for method, operation in item.items() if method in METHODS]
    report('its operations have ids of their own',
           None if len(ids) == len(set(ids)) else 'some have not')

    for path, item in doc['paths'].items():
        named = {doc['components']['parameters'][
                     parameter['$ref'].rsplit('/', 1)[1]]['name']
                 for parameter in item.get('parameters', [])}

        if named != set(re.findall(r'\{(\w+)\}', path)):
            report(f'{path} has its parameters', f'it names {sorted(named)}')


def check_exchange(api, exchange):
    status, body = str(exchange['status']), exchange['body']
    title = f'{exchange["method"]} {exchange["path"]} {status}'
    name = api.find(exchange['method'], exchange['path'])

    if name is None:
        report(title, 'no such operation')
        return

    operation = api.operations[name]
    responses = operation['responses']
    key = status if status in responses else 'default'

    if key == 'default' and int(status) < 400:
        report(title, 'this success is not documented')
        return

    api.used.add(f'{name} {key}')

    response = api.resolve(responses[key])
    content = response.get('content', {}).get('application/json')

    if content is None:
        why = None if body is None else 'there is a body'
    else:
        why = api.errors(content['schema'], body)

    if why is None and key != 'default':
        has, says = exchange['etag'] is not None, 'headers' in response

        if has != says and int(status) < 300:
            why = 'an ETag' if has else 'no ETag'

    # what was taken must be what is documented as a request

    if why is None and int(status) < 300:
        request = operation.get('requestBody')

        if exchange['request'] is None:
            if request and request.get('required'):
                why = 'a body is required, and it was taken without'
        elif request is None:
            if exchange['request'] != {}:
                why = 'it was taken with a body'
        else:
            schema = request['content']['application/json']['schema']
            why = api.errors(schema, exchange['request'])
            why = why and f'request: {why}'

    report(title, why)


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        doc = yaml.safe_load(file)

    with open(sys.argv[2], encoding='utf-8') as file:
        exchanges = json.load(file)

    check_document(doc)

    api = Api(doc)

    for exchange in exchanges:
        check_exchange(api, exchange)

    missing = [f'{name} {status}' for name, operation in api.operations.items()
               for status in operation['responses']
               if f'{name} {status}' not in api.used]

    report('every documented status has been seen', ', '.join(missing))

    for name in sorted(api.operations):
        method, path = name.split(' ')
        print(f'operation {method.upper()} {path}')


main()
