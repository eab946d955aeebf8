package com.example;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.math.BigDecimal;
import java.util.List;

/** A method that takes bytes gets the request's body as it came, so that any JSON library can read it. */
public class Orders {
  public record Item(String name, long cents, int count) {}

  public record Order(String id, List<Item> items) {}

  public record Total(String id, String total) {}

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String CURRENCY = System.getenv().getOrDefault("CURRENCY", "EUR");

  public Total total(byte[] body) throws IOException {
    Order order = JSON.readValue(body, Order.class);
    long cents = order.items().stream().mapToLong(item -> item.cents() * item.count()).sum();
    return new Total(order.id(), BigDecimal.valueOf(cents, 2) + " " + CURRENCY);
  }
}
