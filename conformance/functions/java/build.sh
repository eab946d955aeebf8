#!/bin/sh
# Compiles the functions into one code folder, with the source that an error's stack names and a file that is no class.
set -eu
javac -J-XX:TieredStopAtLevel=1 -nowarn -encoding UTF-8 -d java Acts.java Broken.java
cp Broken.java java
echo 'this is no class file' >java/index.class
