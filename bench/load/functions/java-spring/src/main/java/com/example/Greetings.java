package com.example;

import java.util.Map;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** A handler that asks a Spring context for its beans. */
public final class Greetings {
  public interface Greeter {
    String greet(String name);
  }

  public record Service(Greeter greeter) {}

  @Configuration
  public static class Beans {
    @Bean
    public Greeter greeter() {
      return name -> "Hello " + name;
    }

    @Bean
    public Service service(Greeter greeter) {
      return new Service(greeter);
    }
  }

  private static final ApplicationContext CONTEXT = new AnnotationConfigApplicationContext(Beans.class);

  public static Map<String, Object> greet(Map<String, Object> event) {
    Greeter greeter = CONTEXT.getBean(Service.class).greeter();
    return Map.of("message", greeter.greet(String.valueOf(event.get("name"))));
  }
}
