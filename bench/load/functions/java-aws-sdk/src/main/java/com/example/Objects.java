package com.example;

import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.s3.S3Client;

/** A handler that makes a client of the AWS SDK for Java and an address with it. It calls nobody. */
public final class Objects {
  private static final S3Client CLIENT = S3Client.builder()
      .region(Region.EU_CENTRAL_1)
      .credentialsProvider(StaticCredentialsProvider.create(AwsBasicCredentials.create("none", "none")))
      .httpClient(UrlConnectionHttpClient.create())
      .build();

  public static Map<String, Object> url(Map<String, Object> event) {
    String key = String.valueOf(event.get("key"));
    return Map.of("url", CLIENT.utilities().getUrl(to -> to.bucket("example").key(key)).toString());
  }
}
