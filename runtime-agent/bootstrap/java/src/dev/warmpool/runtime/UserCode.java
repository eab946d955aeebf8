package dev.warmpool.runtime;

import java.io.File;
import java.io.IOException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.jar.JarFile;
import java.util.jar.Manifest;

/**
 * The code folder as a class path with a loader of its own: the folder, `classes/`, the jars in it, the jars of `lib/`. Its parent
 * is the platform's loader, so that the agent's classes are not in the way of the user's.
 */
final class UserCode {
  private final String folder;
  private final List<String> classPath = new ArrayList<>();
  final URLClassLoader loader;

  UserCode(String folder) throws MalformedURLException {
    this.folder = folder;
    classPath.add(folder.endsWith("/") ? folder : folder + "/");
    if (new File(folder, "classes").isDirectory()) classPath.add(folder + "/classes");
    addJars(folder);
    addJars(folder + "/lib");
    URL[] urls = new URL[classPath.size()];
    for (int index = 0; index < urls.length; index++) urls[index] = new File(classPath.get(index)).toURI().toURL();
    loader = new URLClassLoader(urls, ClassLoader.getPlatformClassLoader());
  }

  private void addJars(String from) {
    String[] names = new File(from).list();
    if (names == null) return;
    Arrays.sort(names);
    for (String name : names) if (name.endsWith(".jar")) classPath.add(from + "/" + name);
  }

  String classPathText() {
    return String.join(File.pathSeparator, classPath);
  }

  /** The `main` of a class, or of the main class that a jar's manifest names. */
  Method mainMethod(String handler) throws AgentError, Exception {
    String className = handler.endsWith(".jar") ? mainClassOf(handler) : handler.replace('/', '.');
    Class<?> type;
    try {
      type = Class.forName(className, false, loader);
    } catch (ClassNotFoundException none) {
      throw notFound(handler, "there is no class " + className + " in the code's jars, its classes folder or its root");
    }
    try {
      Method main = type.getMethod("main", String[].class);
      if (Modifier.isStatic(main.getModifiers())) {
        main.setAccessible(true);
        return main;
      }
    } catch (NoSuchMethodException none) {
      // said below
    }
    throw notFound(handler, "class " + className + " has no public static void main(String[])");
  }

  private String mainClassOf(String handler) throws AgentError {
    File file = new File(folder, handler);
    if (!file.isFile()) throw notFound(handler, "there is no such file in the code");
    try (JarFile jar = new JarFile(file)) {
      Manifest manifest = jar.getManifest();
      String name = manifest == null ? null : manifest.getMainAttributes().getValue("Main-Class");
      if (name != null) return name.strip();
    } catch (IOException error) {
      throw notFound(handler, "it cannot be read: " + error.getMessage());
    }
    throw notFound(handler, "its manifest has no Main-Class");
  }

  private static AgentError notFound(String handler, String why) {
    return new AgentError(AgentError.Code.HandlerNotFound, "the handler " + handler + " was not found: " + why)
        .with("phase", "handler");
  }
}
