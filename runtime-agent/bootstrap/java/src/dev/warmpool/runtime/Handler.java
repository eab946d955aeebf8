package dev.warmpool.runtime;

import java.util.Map;

/** The user's function, whatever its form. */
interface Handler {
  Object call(Event event, Map<String, Object> context) throws Throwable;
}
