#!/bin/sh
# A sidecar that is told by a file and a signal: nginx starts with nothing to serve and is reloaded with what the file says.
set -eu
cd "$WARMPOOL_SIDECAR_DIR"
mkfifo reload
cat > nginx.conf <<CONF
daemon off;
worker_processes 1;
error_log stderr error;
pid $PWD/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path $PWD/body;
  proxy_temp_path $PWD/proxy;
  fastcgi_temp_path $PWD/fastcgi;
  uwsgi_temp_path $PWD/uwsgi;
  scgi_temp_path $PWD/scgi;
  include $PWD/live*.conf;
}
CONF
nginx -e stderr -p "$PWD" -c nginx.conf &
while read -r _ < reload; do
  # values of the metadata are the claim's words: nothing but plain characters may get into the configuration
  name=$(sed -n 's/^name //p' service.txt | tr -cd 'A-Za-z0-9._-')
  if [ -z "$name" ]; then
    echo 'the service has no name' > failed
    continue
  fi
  cat > live.conf <<CONF
log_format service 'service=$name status=\$status \$request_method \$uri';
server {
  listen unix:$PWD/traffic.sock;
  access_log ${ACCESS_LOG:-/dev/stdout} service;
  location / { proxy_pass http://$WARMPOOL_HOST:$WARMPOOL_PORT; }
}
CONF
  nginx -e stderr -p "$PWD" -c nginx.conf -s reload
  # bound by the master once the new configuration is in use
  until [ -S traffic.sock ]; do sleep 0.002; done
  : > reloaded
done
