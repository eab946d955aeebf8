import type { z } from 'zod';

/** One route of an API: enough to describe it, nothing about how it is served. */
export interface Route {
  method: 'get' | 'post' | 'delete';
  /** With `{parameters}`. */
  path: string;
  operationId: string;
  summary: string;
  description?: string;
  params?: z.ZodObject;
  query?: z.ZodObject;
  request?: RequestBody;
  replies: Record<number, Reply>;
}

interface RequestBody {
  schema: z.ZodType;
  /** Default true. */
  isRequired?: boolean;
}

export interface Reply {
  description: string;
  /** By content type. */
  content?: Record<string, z.ZodType>;
  headers?: Record<string, string>;
}

/** A program's whole API. */
export interface ApiDescription {
  title: string;
  description: string;
  routes: Route[];
  /** Schemas that other parts refer to by name. */
  components: Record<string, z.ZodType>;
}

export function json(description: string, schema: z.ZodType, headers?: Record<string, string>): Reply {
  return { description, content: { 'application/json': schema }, ...(headers && { headers }) };
}
