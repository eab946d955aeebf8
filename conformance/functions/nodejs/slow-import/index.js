await new Promise((resolve) => setTimeout(resolve, 300));
export const handler = async () => ({ ok: true });
