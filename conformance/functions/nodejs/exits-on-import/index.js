try { process.exit(3); } catch {}
exports.handler = async () => ({ ok: true });
