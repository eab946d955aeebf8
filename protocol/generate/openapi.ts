import { z } from 'zod';
import { errorBodySchema, fieldProblemSchema } from '../errors.ts';
import { API_VERSION } from '../names.ts';
import type { ApiDescription, Reply, Route } from './routes.ts';

type Json = Record<string, unknown>;

/** An OpenAPI 3.1 document, as plain JSON. */
export function openApiDocument(api: ApiDescription): Json {
  const schemas = new SchemaWriter({ ...api.components, ErrorBody: errorBodySchema, FieldProblem: fieldProblemSchema });
  const paths: Record<string, Json> = {};
  for (const route of api.routes) {
    paths[route.path] = { ...paths[route.path], [route.method]: operation(route, schemas) };
  }
  return {
    openapi: '3.1.0',
    info: { title: api.title, description: api.description, version: API_VERSION, license: { name: 'Apache-2.0' } },
    paths,
    components: { schemas: schemas.components() },
  };
}

function operation(route: Route, schemas: SchemaWriter): Json {
  const parameters = [...parametersOf(route.params, 'path', schemas), ...parametersOf(route.query, 'query', schemas)];
  return {
    operationId: route.operationId,
    summary: route.summary,
    ...(route.description !== undefined && { description: route.description }),
    ...(parameters.length > 0 && { parameters }),
    ...(route.request && {
      requestBody: {
        required: route.request.isRequired ?? true,
        content: { 'application/json': { schema: schemas.write(route.request.schema) } },
      },
    }),
    responses: Object.fromEntries(
      Object.entries(route.replies).map(([status, reply]) => [status, response(reply, schemas)]),
    ),
  };
}

function parametersOf(schema: z.ZodObject | undefined, place: 'path' | 'query', schemas: SchemaWriter): Json[] {
  return Object.entries(schema?.shape ?? {}).map(([name, field]) => ({
    name,
    in: place,
    required: place === 'path' || !(field as z.ZodType).safeParse(undefined).success,
    schema: schemas.write(field as z.ZodType),
  }));
}

function response(reply: Reply, schemas: SchemaWriter): Json {
  return {
    description: reply.description,
    ...(reply.headers && {
      headers: Object.fromEntries(
        Object.entries(reply.headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
      ),
    }),
    ...(reply.content && {
      content: Object.fromEntries(
        Object.entries(reply.content).map(([type, schema]) => [type, { schema: schemas.write(schema) }]),
      ),
    }),
  };
}

/** Writes a schema in full, but a named one, wherever it stands, as a reference to its component. */
class SchemaWriter {
  readonly #names: Map<object, string>;
  readonly #components: Record<string, z.ZodType>;

  constructor(components: Record<string, z.ZodType>) {
    this.#components = components;
    this.#names = new Map(Object.entries(components).map(([name, schema]) => [schema, name]));
  }

  write(schema: z.ZodType): Json {
    const name = this.#names.get(schema);
    return name === undefined ? this.#inFull(schema) : reference(name);
  }

  components(): Json {
    return Object.fromEntries(Object.entries(this.#components).map(([name, schema]) => [name, this.#inFull(schema)]));
  }

  #inFull(root: z.ZodType): Json {
    const rootName = this.#names.get(root);
    const { $schema: _, ...schema } = z.toJSONSchema(root, {
      // As it travels: before transforms, and with defaulted fields left out.
      io: 'input',
      unrepresentable: 'any',
      override: ({ zodSchema, jsonSchema }) => {
        const name = this.#names.get(zodSchema);
        if (name !== undefined && name !== rootName) replaceBy(jsonSchema, reference(name));
        else dropDoubleRange(jsonSchema);
      },
    });
    return schema;
  }
}

function reference(name: string): Json {
  return { $ref: `#/components/schemas/${name}` };
}

function replaceBy(target: object, source: Json): void {
  for (const key of Object.keys(target)) Reflect.deleteProperty(target, key);
  Object.assign(target, source);
}

/** zod bounds integers by what a double holds exactly; that says nothing to a reader. */
function dropDoubleRange(schema: { minimum?: number; maximum?: number }): void {
  if (schema.minimum === Number.MIN_SAFE_INTEGER) delete schema.minimum;
  if (schema.maximum === Number.MAX_SAFE_INTEGER) delete schema.maximum;
}
