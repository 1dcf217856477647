// Draws the API reference from the description that the page names. Nothing is sent anywhere but to this server.
(() => {
  const place = document.getElementById('reference');
  window.SwaggerUIBundle({
    domNode: place,
    url: place.dataset.description,
    deepLinking: true,
    // No badge of somebody else's server, and no address from the query string.
    validatorUrl: null,
    queryConfigEnabled: false,
    persistAuthorization: false,
    displayRequestDuration: true,
    docExpansion: 'list',
    supportedSubmitMethods: ['get', 'post', 'put', 'patch', 'delete'],
  });
})();
