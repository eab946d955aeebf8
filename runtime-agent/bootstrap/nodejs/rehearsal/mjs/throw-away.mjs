/** @param {object} event */
export const handler = async (event) => ({ ...event });
