package dev.warmpool.runtime;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON into maps, lists, strings, booleans, null, and numbers: Long (or BigInteger) without a fraction or exponent,
 * otherwise Double.
 */
final class Json {
  static final int MAX_DEPTH = 500;
  private final String text;
  private int at;

  private Json(String text) {
    this.text = text;
  }

  /** Throws IllegalArgumentException with a sentence that says where. */
  static Object parse(String text) {
    Json json = new Json(text);
    Object value = json.value(0);
    json.skipSpace();
    if (json.at < text.length()) throw json.unexpected();
    return value;
  }

  private Object value(int depth) {
    if (depth > MAX_DEPTH) throw new IllegalArgumentException("nested deeper than " + MAX_DEPTH);
    skipSpace();
    char first = peek();
    switch (first) {
      case '{':
        return object(depth);
      case '[':
        return list(depth);
      case '"':
        return string();
      case 't':
        return word("true", Boolean.TRUE);
      case 'f':
        return word("false", Boolean.FALSE);
      case 'n':
        return word("null", null);
      default:
        if (first == '-' || isDigit(first)) return number();
        throw unexpected();
    }
  }

  private Map<String, Object> object(int depth) {
    Map<String, Object> object = new LinkedHashMap<>();
    at++;
    skipSpace();
    if (take('}')) return object;
    do {
      skipSpace();
      if (peek() != '"') throw unexpected();
      String name = string();
      skipSpace();
      if (!take(':')) throw unexpected();
      object.put(name, value(depth + 1));
      skipSpace();
    } while (take(','));
    if (!take('}')) throw unexpected();
    return object;
  }

  private List<Object> list(int depth) {
    List<Object> list = new ArrayList<>();
    at++;
    skipSpace();
    if (take(']')) return list;
    do {
      list.add(value(depth + 1));
      skipSpace();
    } while (take(','));
    if (!take(']')) throw unexpected();
    return list;
  }

  private String string() {
    int start = ++at;
    while (at < text.length()) {
      char next = text.charAt(at);
      if (next == '"') return text.substring(start, at++);
      if (next == '\\') return stringWithEscapes(start);
      if (next < ' ') throw unexpected();
      at++;
    }
    throw unexpected();
  }

  private String stringWithEscapes(int start) {
    StringBuilder built = new StringBuilder(text.length() - start < 4096 ? 64 : 1024).append(text, start, at);
    while (at < text.length()) {
      char next = text.charAt(at++);
      if (next == '"') return built.toString();
      if (next < ' ') {
        at--;
        throw unexpected();
      }
      built.append(next == '\\' ? escape() : next);
    }
    throw unexpected();
  }

  private char escape() {
    char kind = peek();
    at++;
    switch (kind) {
      case 'n':
        return '\n';
      case 't':
        return '\t';
      case 'r':
        return '\r';
      case 'b':
        return '\b';
      case 'f':
        return '\f';
      case '"', '\\', '/':
        return kind;
      case 'u':
        int code = 0;
        for (int index = 0; index < 4; index++, at++) {
          int digit = Character.digit(peek(), 16);
          if (digit < 0) throw unexpected();
          code = code * 16 + digit;
        }
        return (char) code;
      default:
        at--;
        throw unexpected();
    }
  }

  private Number number() {
    int start = at;
    take('-');
    if (take('0')) {
      if (isDigit(peek())) throw unexpected();
    } else {
      digits();
    }
    boolean isWhole = true;
    if (take('.')) {
      isWhole = false;
      digits();
    }
    if (peek() == 'e' || peek() == 'E') {
      isWhole = false;
      at++;
      if (!take('+')) take('-');
      digits();
    }
    String number = text.substring(start, at);
    if (!isWhole) return Double.valueOf(number);
    if (number.length() <= 18) return Long.valueOf(number);
    if (number.length() > 1000) throw new IllegalArgumentException("a number has more than 1000 digits");
    BigInteger big = new BigInteger(number);
    return big.bitLength() < 64 ? (Number) big.longValue() : big;
  }

  private void digits() {
    if (!isDigit(peek())) throw unexpected();
    while (isDigit(peek())) at++;
  }

  private Object word(String word, Object value) {
    if (!text.startsWith(word, at)) throw unexpected();
    at += word.length();
    return value;
  }

  private void skipSpace() {
    while (at < text.length()) {
      char next = text.charAt(at);
      if (next != ' ' && next != '\n' && next != '\r' && next != '\t') return;
      at++;
    }
  }

  private boolean take(char wanted) {
    if (peek() != wanted) return false;
    at++;
    return true;
  }

  private char peek() {
    return at < text.length() ? text.charAt(at) : '\0';
  }

  private static boolean isDigit(char each) {
    return each >= '0' && each <= '9';
  }

  private IllegalArgumentException unexpected() {
    if (at >= text.length()) return new IllegalArgumentException("it ends too early");
    return new IllegalArgumentException("unexpected '" + text.charAt(at) + "' at position " + at);
  }
}
