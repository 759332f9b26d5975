extension ClientProfile {
    /// A script for Windows' PowerShell, run as administrator: puts key and authority into the machine's stores and adds a
    /// connection with suites that Windows does not offer by itself (it stops at MODP 1024).
    package var windowsScript: String {
        """
        #Requires -RunAsAdministrator
        $ErrorActionPreference = 'Stop'
        $name = \(ClientProfile.quotedForShell(title))
        $gateway = \(ClientProfile.quotedForShell(gateway))
        $identity = [Convert]::FromBase64String('\(PEMBlock.base64(pkcs12))')
        $authority = [Convert]::FromBase64String('\(PEMBlock.base64(authority.octets))')
        $passphrase = ConvertTo-SecureString \(ClientProfile.quotedForShell(passphrase)) -AsPlainText -Force

        $folder = New-Item -ItemType Directory -Path (Join-Path $env:TEMP ([Guid]::NewGuid()))
        try {
            $file = Join-Path $folder 'identity.p12'
            [IO.File]::WriteAllBytes($file, $identity)
            Import-PfxCertificate -FilePath $file -CertStoreLocation Cert:\\LocalMachine\\My -Password $passphrase | Out-Null
            $file = Join-Path $folder 'authority.cer'
            [IO.File]::WriteAllBytes($file, $authority)
            Import-Certificate -FilePath $file -CertStoreLocation Cert:\\LocalMachine\\Root | Out-Null
        } finally {
            Remove-Item -Recurse -Force $folder
        }

        $filter = New-Object System.Security.Cryptography.X509Certificates.X509Certificate2 (, $authority)
        Add-VpnConnection -Name $name -ServerAddress $gateway -TunnelType Ikev2 -AuthenticationMethod MachineCertificate `
            -MachineCertificateIssuerFilter $filter -EncryptionLevel Required -AllUserConnection -Force
        Set-VpnConnectionIPsecConfiguration -ConnectionName $name -AuthenticationTransformConstants GCMAES256 `
            -CipherTransformConstants GCMAES256 -EncryptionMethod GCMAES256 -IntegrityCheckMethod SHA256 `
            -DHGroup ECP256 -PfsGroup ECP256 -AllUserConnection -Force

        """
    }

    /// A string that PowerShell takes as it is: in single quotes, of which inner ones are doubled.
    private static func quotedForShell(_ text: String) -> String {
        // PowerShell reads typographic quotes as quotes, too.
        let quotes: Set<Character> = ["'", "\u{2018}", "\u{2019}", "\u{201A}", "\u{201B}"]
        return "'" + text.reduce(into: "") { $0 += quotes.contains($1) ? "\($1)\($1)" : "\($1)" } + "'"
    }
}
