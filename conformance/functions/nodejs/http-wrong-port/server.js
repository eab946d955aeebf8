const http = require('node:http');
http.createServer((request, response) => {
  let body = '';
  request.setEncoding('utf8').on('data', (chunk) => { body += chunk; }).on('end', () => {
    console.log('served ' + request.url);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method: request.method, url: request.url, body }));
  });
}).listen(0, '127.0.0.1');
