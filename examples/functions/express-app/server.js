import express from 'express';

const greeting = process.env.GREETING ?? 'Hello';
const app = express();
app.disable('x-powered-by');
app.use(express.json({ limit: '100kb' }));

app.get('/', (request, response) => {
  response.type('text/plain').send(`${greeting} from Express\n`);
});

app.get('/hello/:name', (request, response) => {
  response.json({ message: `${greeting}, ${request.params.name}` });
});

app.post('/sum', (request, response) => {
  const numbers = request.body?.numbers;
  if (!Array.isArray(numbers) || !numbers.every(Number.isFinite)) {
    response.status(400).json({ error: 'send {"numbers": [1, 2, 3]}' });
    return;
  }
  response.json({ sum: numbers.reduce((sum, number) => sum + number, 0) });
});

app.listen(Number(process.env.PORT));
