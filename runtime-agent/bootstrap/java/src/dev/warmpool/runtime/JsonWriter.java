package dev.warmpool.runtime;

import java.lang.reflect.Array;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.RecordComponent;
import java.util.Iterator;
import java.util.Map;
import java.util.Optional;

/** Writes maps, iterables, arrays, records, text, numbers, booleans, enums and optionals as JSON. */
final class JsonWriter {
  private static final String HEX = "0123456789abcdef";
  private final StringBuilder out = new StringBuilder(256);

  private JsonWriter() {}

  /** Throws IllegalArgumentException with a sentence when the value is none of these. */
  static String write(Object value) {
    JsonWriter writer = new JsonWriter();
    writer.value(value, 0);
    return writer.out.toString();
  }

  private void value(Object value, int depth) {
    if (depth > Json.MAX_DEPTH) {
      throw new IllegalArgumentException("nested deeper than " + Json.MAX_DEPTH + ", or holds itself");
    }
    if (value == null) out.append("null");
    else if (value instanceof CharSequence text) string(text);
    else if (value instanceof Number number) number(number);
    else if (value instanceof Boolean) out.append(value);
    else if (value instanceof Map<?, ?> map) object(map, depth);
    else if (value instanceof Iterable<?> list) list(list.iterator(), depth);
    else if (value instanceof Character || value instanceof Enum<?>) string(value.toString());
    else if (value instanceof Optional<?> optional) value(optional.orElse(null), depth + 1);
    else if (value.getClass().isArray()) array(value, depth);
    else if (value instanceof Record record) record(record, depth);
    else {
      throw new IllegalArgumentException(
          "a " + value.getClass().getName() + " is none of map, list, array, record, text, number, boolean");
    }
  }

  private void number(Number number) {
    if (number instanceof Double || number instanceof Float) {
      double each = number.doubleValue();
      if (Double.isNaN(each) || Double.isInfinite(each)) throw new IllegalArgumentException(number + " has no JSON");
    }
    out.append(number);
  }

  private void object(Map<?, ?> map, int depth) {
    char before = '{';
    for (Map.Entry<?, ?> entry : map.entrySet()) {
      out.append(before);
      before = ',';
      string(String.valueOf(entry.getKey()));
      out.append(':');
      value(entry.getValue(), depth + 1);
    }
    out.append(before == '{' ? "{}" : "}");
  }

  private void list(Iterator<?> items, int depth) {
    char before = '[';
    while (items.hasNext()) {
      out.append(before);
      before = ',';
      value(items.next(), depth + 1);
    }
    out.append(before == '[' ? "[]" : "]");
  }

  private void array(Object array, int depth) {
    out.append('[');
    for (int index = 0, length = Array.getLength(array); index < length; index++) {
      if (index > 0) out.append(',');
      value(Array.get(array, index), depth + 1);
    }
    out.append(']');
  }

  private void record(Record record, int depth) {
    char before = '{';
    for (RecordComponent component : record.getClass().getRecordComponents()) {
      out.append(before);
      before = ',';
      string(component.getName());
      out.append(':');
      value(componentOf(record, component), depth + 1);
    }
    out.append(before == '{' ? "{}" : "}");
  }

  private static Object componentOf(Record record, RecordComponent component) {
    try {
      component.getAccessor().setAccessible(true);
      return component.getAccessor().invoke(record);
    } catch (InvocationTargetException error) {
      throw new IllegalArgumentException(component.getName() + " threw " + error.getCause(), error.getCause());
    } catch (IllegalAccessException error) {
      throw new IllegalArgumentException(component.getName() + " cannot be read", error);
    }
  }

  private void string(CharSequence text) {
    out.append('"');
    for (int index = 0; index < text.length(); index++) {
      char each = text.charAt(index);
      if (each == '"' || each == '\\') out.append('\\').append(each);
      else if (each >= ' ' && !isLoneSurrogate(text, index)) out.append(each);
      else if (each == '\n') out.append("\\n");
      else if (each == '\r') out.append("\\r");
      else if (each == '\t') out.append("\\t");
      else {
        out.append("\\u");
        for (int shift = 12; shift >= 0; shift -= 4) out.append(HEX.charAt((each >> shift) & 15));
      }
    }
    out.append('"');
  }

  private static boolean isLoneSurrogate(CharSequence text, int index) {
    char each = text.charAt(index);
    if (!Character.isSurrogate(each)) return false;
    if (Character.isHighSurrogate(each)) {
      return index + 1 >= text.length() || !Character.isLowSurrogate(text.charAt(index + 1));
    }
    return index == 0 || !Character.isHighSurrogate(text.charAt(index - 1));
  }
}
