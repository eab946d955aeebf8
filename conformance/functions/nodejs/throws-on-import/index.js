function connect() { throw new Error('no database today'); }
connect();
exports.handler = async () => ({ ok: true });
