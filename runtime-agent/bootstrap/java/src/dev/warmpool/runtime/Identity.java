package dev.warmpool.runtime;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.TimeZone;

/**
 * Binds a process that belonged to nobody to one claim: environment, time zone, locale, working directory, class path, and what
 * the system properties say of them. The JDK keeps most of this in private fields, which the agent's jar has opened.
 */
final class Identity {
  /** As ENV_ALLOW_LIST of protocol/runtime-agent-api.ts. */
  private static final String[] KEPT_ENV_NAMES = {"PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL"};

  private final Map<Object, Object> environment;
  private final Constructor<?> newVariable;
  private final Constructor<?> newValue;
  private final VarHandle systemLoader;
  private final WorkingFolder workingFolder = new WorkingFolder();
  private final Map<String, String> containerEnv = new LinkedHashMap<>();

  // how the process was, for undo()
  private Map<Object, Object> earlierEnvironment;
  private Properties earlierProperties;
  private Locale earlierLocale;
  private ClassLoader earlierLoader;
  private Object earlierSystemLoader;

  @SuppressWarnings("unchecked")
  Identity() throws ReflectiveOperationException {
    Class<?> holder = Class.forName("java.lang.ProcessEnvironment");
    Field field = holder.getDeclaredField("theEnvironment");
    field.setAccessible(true);
    environment = (Map<Object, Object>) field.get(null);
    newVariable = constructorOf("java.lang.ProcessEnvironment$Variable");
    newValue = constructorOf("java.lang.ProcessEnvironment$Value");
    systemLoader = MethodHandles.privateLookupIn(ClassLoader.class, MethodHandles.lookup())
        .findStaticVarHandle(ClassLoader.class, "scl", ClassLoader.class);
    for (String name : KEPT_ENV_NAMES) {
      String value = System.getenv(name);
      if (value != null) containerEnv.put(name, value);
    }
  }

  private static Constructor<?> constructorOf(String className) throws ReflectiveOperationException {
    Constructor<?> constructor = Class.forName(className).getDeclaredConstructor(String.class, byte[].class);
    constructor.setAccessible(true);
    return constructor;
  }

  /** On the thread that will run the user's code, before any of it does. */
  void become(LoadRequest request, UserCode code, int port) throws ReflectiveOperationException {
    Map<String, String> env = new LinkedHashMap<>(containerEnv);
    env.putAll(request.env());
    env.put("PORT", String.valueOf(port));
    replaceEnvironment(env);
    useTimeZone(env.get("TZ"));
    useLocale(env);
    workingFolder.become(request.codePath());
    System.setProperty("java.class.path", code.classPathText());
    System.setProperty("sun.java.command", request.handler());
    Thread.currentThread().setContextClassLoader(code.loader);
    systemLoader.setVolatile(code.loader);
  }

  private void replaceEnvironment(Map<String, String> env) throws ReflectiveOperationException {
    environment.clear();
    for (Map.Entry<String, String> entry : env.entrySet()) {
      String name = entry.getKey();
      String value = entry.getValue();
      environment.put(
          newVariable.newInstance(name, name.getBytes(StandardCharsets.UTF_8)),
          newValue.newInstance(value, value.getBytes(StandardCharsets.UTF_8)));
    }
  }

  /** The container's own is what the JVM finds out by itself. */
  private void useTimeZone(String name) {
    if (name == null || name.isEmpty() || name.equals(containerEnv.get("TZ"))) return;
    TimeZone.setDefault(TimeZone.getTimeZone(name.startsWith(":") ? name.substring(1) : name));
    System.setProperty("user.timezone", TimeZone.getDefault().getID());
  }

  private void useLocale(Map<String, String> env) {
    String name = env.getOrDefault("LC_ALL", "").isEmpty() ? env.getOrDefault("LANG", "") : env.get("LC_ALL");
    boolean isContainers = name.equals(containerEnv.get("LC_ALL")) || name.equals(containerEnv.get("LANG"));
    if (name.isEmpty() || isContainers) return;
    String[] parts = name.split("[.@]")[0].split("_");
    boolean isNone = parts[0].equals("C") || parts[0].equals("POSIX");
    Locale locale = new Locale.Builder().setLanguage(isNone ? "en" : parts[0].toLowerCase(Locale.ROOT))
        .setRegion(parts.length > 1 ? parts[1] : "").build();
    Locale.setDefault(locale);
    System.setProperty("user.language", locale.getLanguage());
    if (locale.getCountry().isEmpty()) System.clearProperty("user.country");
    else System.setProperty("user.country", locale.getCountry());
  }

  void remember() {
    earlierEnvironment = new LinkedHashMap<>(environment);
    earlierProperties = (Properties) System.getProperties().clone();
    earlierLocale = Locale.getDefault();
    earlierLoader = Thread.currentThread().getContextClassLoader();
    earlierSystemLoader = systemLoader.getVolatile();
  }

  void undo() throws ReflectiveOperationException {
    workingFolder.undo();
    environment.clear();
    environment.putAll(earlierEnvironment);
    System.getProperties().keySet().retainAll(earlierProperties.keySet());
    System.getProperties().putAll(earlierProperties);
    TimeZone.setDefault(null);
    Locale.setDefault(earlierLocale);
    Thread.currentThread().setContextClassLoader(earlierLoader);
    systemLoader.setVolatile((ClassLoader) earlierSystemLoader);
  }
}
