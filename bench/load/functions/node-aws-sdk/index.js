const { S3Client, GetObjectCommand } = require('@aws-sdk/client-s3');

const client = new S3Client({ region: 'eu-central-1', credentials: { accessKeyId: 'none', secretAccessKey: 'none' } });

exports.handler = async ({ key = 'a' }) => {
  const command = new GetObjectCommand({ Bucket: 'example', Key: key });
  return { key: command.input.Key, region: await client.config.region() };
};
