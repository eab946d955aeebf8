package dev.warmpool.runtime;

import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * Finds what `handler` names: `<class>.<method>`, `<class>.<static field that holds a function>`, or a class that is a Function
 * or BiFunction. A method takes nothing, the event, or the event and the context.
 */
final class HandlerFinder {
  private final ClassLoader loader;
  private final String name;

  HandlerFinder(ClassLoader loader, String name) {
    this.loader = loader;
    this.name = name;
  }

  Handler find() throws Throwable {
    String dotted = name.replace('/', '.');
    int dot = dotted.lastIndexOf('.');
    // by convention only classes begin with a capital letter; anything else costs a second look
    boolean looksLikeClass = Character.isUpperCase(dotted.charAt(dot + 1));
    Class<?> whole = looksLikeClass ? classNamed(dotted) : null;
    if (whole != null) return functionClass(whole);
    Class<?> owner = dot > 0 ? classNamed(dotted.substring(0, dot)) : null;
    if (owner != null) return memberOf(owner, dotted.substring(dot + 1));
    if (!looksLikeClass) whole = classNamed(dotted);
    if (whole != null) return functionClass(whole);
    String wanted = looksLikeClass || dot < 0 ? dotted : dotted.substring(0, dot);
    throw notFound("there is no class " + wanted + " in the code's jars, its classes folder or its root");
  }

  /** `a.b.Outer.Inner` is also looked for as `a.b.Outer$Inner`. Null when there is none. */
  private Class<?> classNamed(String dotted) throws Throwable {
    for (String each = dotted; ; ) {
      try {
        return Class.forName(each, false, loader);
      } catch (ClassNotFoundException none) {
        int dot = each.lastIndexOf('.');
        if (dot < 1 || !Character.isUpperCase(each.charAt(each.lastIndexOf('.', dot - 1) + 1))) return null;
        each = each.substring(0, dot) + '$' + each.substring(dot + 1);
      }
    }
  }

  private Handler functionClass(Class<?> type) throws Throwable {
    boolean isFunction = Function.class.isAssignableFrom(type) || BiFunction.class.isAssignableFrom(type);
    if (!isFunction) {
      throw notFound("class " + type.getName() + " is neither a Function nor a BiFunction, so a method has to be named; "
          + membersOf(type));
    }
    Class<?> eventType = Object.class;
    for (Method method : type.getMethods()) {
      if (method.getName().equals("apply") && !method.isBridge()) eventType = method.getParameterTypes()[0];
    }
    return functionOf(instanceOf(type), eventType);
  }

  private Handler memberOf(Class<?> owner, String member) throws Throwable {
    Method found = null;
    for (Method method : owner.getMethods()) {
      if (!method.getName().equals(member) || method.isBridge() || !isCallable(method)) continue;
      if (found != null && found.getParameterCount() == method.getParameterCount()) {
        throw notFound("class " + owner.getName() + " has more than one method " + member + " with as many parameters");
      }
      if (found == null || method.getParameterCount() > found.getParameterCount()) found = method;
    }
    if (found != null) return methodOf(owner, found);
    for (Field field : owner.getDeclaredFields()) {
      if (field.getName().equals(member) && Modifier.isStatic(field.getModifiers())) return fieldOf(field);
    }
    throw notFound("class " + owner.getName() + " has no public method " + member
        + " that takes an event, or an event and a Map; " + membersOf(owner));
  }

  private static boolean isCallable(Method method) {
    int count = method.getParameterCount();
    if (count > 0 && method.getParameterTypes()[0].isPrimitive()) return false;
    return count < 2 || count == 2 && method.getParameterTypes()[1].isAssignableFrom(Map.class);
  }

  private Handler methodOf(Class<?> owner, Method method) throws Throwable {
    method.setAccessible(true);
    boolean isStatic = Modifier.isStatic(method.getModifiers());
    if (isStatic) Class.forName(owner.getName(), true, loader);
    Object target = isStatic ? null : instanceOf(owner);
    Class<?>[] types = method.getParameterTypes();
    return switch (types.length) {
      case 0 -> (event, context) -> method.invoke(target);
      case 1 -> (event, context) -> method.invoke(target, event.as(types[0]));
      default -> (event, context) -> method.invoke(target, event.as(types[0]), context);
    };
  }

  private Handler fieldOf(Field field) throws Throwable {
    field.setAccessible(true);
    Object value = field.get(null);
    Handler handler = value == null ? null : functionOf(value, Object.class);
    if (handler != null) return handler;
    String kind = value == null ? "null" : "a " + value.getClass().getName();
    throw notFound(name + " is " + kind + ", not a function");
  }

  @SuppressWarnings("unchecked")
  private static Handler functionOf(Object value, Class<?> eventType) {
    if (value instanceof BiFunction<?, ?, ?> function) {
      return (event, context) -> ((BiFunction<Object, Object, Object>) function).apply(event.as(eventType), context);
    }
    if (value instanceof Function<?, ?> function) {
      return (event, context) -> ((Function<Object, Object>) function).apply(event.as(eventType));
    }
    if (value instanceof Supplier<?> supplier) return (event, context) -> supplier.get();
    if (value instanceof Callable<?> callable) return (event, context) -> callable.call();
    return null;
  }

  private Object instanceOf(Class<?> type) throws Throwable {
    Constructor<?> constructor;
    try {
      constructor = type.getDeclaredConstructor();
    } catch (NoSuchMethodException error) {
      throw notFound("class " + type.getName() + " has no constructor without parameters");
    }
    constructor.setAccessible(true);
    return constructor.newInstance();
  }

  private static String membersOf(Class<?> type) {
    TreeSet<String> names = new TreeSet<>();
    for (Method method : type.getDeclaredMethods()) {
      if (Modifier.isPublic(method.getModifiers()) && !method.isSynthetic()) names.add(method.getName());
    }
    return names.isEmpty() ? "it has no public methods" : "it has " + String.join(", ", names);
  }

  private AgentError notFound(String why) {
    return new AgentError(AgentError.Code.HandlerNotFound, "the handler " + name + " was not found: " + why)
        .with("phase", "handler");
  }
}
