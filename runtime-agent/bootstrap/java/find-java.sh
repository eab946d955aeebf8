# Sets `java` (what is on the PATH, but the real program), `java_home` and `java_version` (17, 21, ...); or `missing`, in words.
# The version is read from the file that every JDK has: starting one to ask would cost each boot 40 ms.

find_java() {
  java=$(command -v java) || { missing='java not found: it is not installed or not on the PATH'; return; }
  java=$(readlink -f "$java")
  java_home=${java%/bin/java}
  java_version=
  if [ -r "$java_home/release" ]; then
    while IFS='=' read -r name value; do
      [ "$name" = JAVA_VERSION ] && java_version=$value
    done <"$java_home/release"
  else
    java_home=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.home = //p')
    java_version=$("$java" -XshowSettings:properties -version 2>&1 | sed -n 's/^ *java.version = //p')
    java=$java_home/bin/java
  fi
  java_version=${java_version#\"}
  java_version=${java_version%%[!0-9]*}
  if [ "${java_version:-0}" -lt 17 ]; then
    missing="$java is version ${java_version:-unknown}; Java 17 or newer is needed"
  fi
}
