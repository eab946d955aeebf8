if (require.main === module) {
const http = require('node:http');
http.createServer((request, response) => {
  if (request.url === '/exit') process.exit(5);
  if (request.url === '/stream') {
    response.write('one ');
    setTimeout(() => response.write('two '), 150);
    setTimeout(() => response.end('three'), 300);
    return;
  }
  let body = '';
  request.setEncoding('utf8').on('data', (chunk) => { body += chunk; }).on('end', () => {
    console.log('served ' + request.url);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method: request.method, url: request.url, body }));
  });
}).listen(process.env.PORT, '127.0.0.1');
}
